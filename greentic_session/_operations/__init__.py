"""The operations of a store on claims and replies, and the iteration over what is ready."""
