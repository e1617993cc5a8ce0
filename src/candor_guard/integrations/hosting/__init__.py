"""A framework's model object as the upstream of a guard: the terms, and the guard around one."""
