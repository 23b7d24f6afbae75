"""The test world: a private PostgreSQL and nodes in network namespaces, torn down on any exit."""
