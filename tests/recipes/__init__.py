"""Small programs as a user would write them, each beside the test that runs it."""
