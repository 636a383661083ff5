"""Access-independent sessions: the manager, its actions, one teardown path."""
