"""One file a script; those whose names begin with an underscore stand in front of others, where these include them."""
