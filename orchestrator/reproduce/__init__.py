"""Folders with which any person runs cells again by hand, without matrixctl.

``folder`` makes the folder of one build; ``planned_folders`` those of cells as a run would take them now, and
``finished`` that of one cell as a run has found it.
"""
