"""Classes of the older samples, a module each: `await howdy.run(mesh)` serves its class and gives its answer."""
