"""Make generated source run: intrinsics, compilation, calls, threads."""
