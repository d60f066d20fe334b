"""
What the live tests are made of. Reading order: place (directory, ports, processes), postgres, sluice, wire (the protocol by
hand, for a client), fake (the same for a server), company (well-behaved clients beside the bad ones), load (writers and
readers whose every answer is kept).
"""
