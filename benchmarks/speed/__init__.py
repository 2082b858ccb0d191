"""How fast edgekit itself is, against the plain way of doing the same: `make bench`."""
