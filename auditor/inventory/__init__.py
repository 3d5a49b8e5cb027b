"""The inventory: the tables of one run, typed, with integer keys, and the views that rules read."""
