"""The dashboard on this machine, over HTTP."""
