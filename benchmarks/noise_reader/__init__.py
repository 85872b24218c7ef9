"""How the network that reads noise was made: ``pack`` micrographs, then ``train`` on them."""
