"""Which names, flags, CPU models and packages the matrix file may have."""

NAME = r"^[A-Za-z0-9](-?[A-Za-z0-9._+])*-?$"
"""Safe in file names, URLs and JUnit; two dashes in a row part the names of a cell's id."""
NAME_RULE = "letters, digits and . _ + -, a letter or digit first, no '--', at most 64 characters"
NAME_LENGTH = 64
"""Two axes have free names: ids stay below 200 characters, of the 255 bytes of a file name."""

MAKE_FLAG = r"^[A-Z0-9][A-Z0-9_]*=[A-Za-z0-9_./+,:= -]*$"
MAKE_FLAG_RULE = "NAME=VALUE, in VALUE letters, digits, spaces and _ . / + , : = -"
"""A variable of make: one argument, whatever spaces it has. No shell that make starts expands it."""
CPU_MODEL = r"^[A-Za-z0-9][A-Za-z0-9._-]*(,[+-]?[A-Za-z0-9][A-Za-z0-9._-]*(=[A-Za-z0-9._-]+)?)*$"
CPU_RULE = "a model of QEMU's, then properties as ,name=value or ,+name or ,-name"
CONFIGURE_FLAG = r"^[A-Za-z0-9-][A-Za-z0-9_./+,:-]*(=[A-Za-z0-9_./+,:= -]*)?$"
CONFIGURE_FLAG_RULE = "letters, digits and _ . / + , : -, after a = spaces and = as well"
FLAG_LENGTH = 1024
PACKAGE = r"^[a-z0-9][a-z0-9.+-]*[a-z0-9.+]$"
"""apt-get takes ``NAME-`` for a package to remove."""
PACKAGE_RULE = "a Debian package: small letters, digits and . + -, no - at the end"
PACKAGE_LENGTH = 100
