"""The machine that matrixctl itself runs on: processes, files of the kernel, deadlines."""
