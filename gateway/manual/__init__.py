"""Pages for people, one file a topic: `gateway help TOPIC` prints them."""
