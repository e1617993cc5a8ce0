"""The guard inside other packages; each module needs the extra of its name, if it has one."""
