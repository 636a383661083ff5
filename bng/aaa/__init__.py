"""Who may, with what: the attribute model and its backends."""
