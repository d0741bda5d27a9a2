"""Graphs: YAML models of activities and transitions. Here so far: the mapping language they are written in."""
