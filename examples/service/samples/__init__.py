"""Classes of the older samples, one module each: `await howdy.run(mesh)` serves its class and gives the sample's answer."""
