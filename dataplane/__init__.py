"""Vector dataplane: C workers and their cffi binding."""
