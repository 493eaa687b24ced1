"""What makes the tables and the network that the package ships."""
