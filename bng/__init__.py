"""BNG control plane: terminates PPPoE subscribers and programs the dataplane."""
