"""Access methods, behind the interface of bng.session.access."""
