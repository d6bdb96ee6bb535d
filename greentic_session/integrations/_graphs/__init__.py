"""Threads of langgraph on sessions, and turns of graphs on replies."""
