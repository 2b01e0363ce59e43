"""High availability, shown: a whole cloud in namespaces, under load, while each of its parts is killed in turn."""
