"""bngctl: knows nothing but the management socket."""
