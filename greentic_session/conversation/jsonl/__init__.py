"""Export of conversations to readable files of JSON Lines, and import from them.

Below a directory of mode 0700, files with mode 0600::

    <partition>/              a directory for each env, tenant and team
        <id>.jsonl            a conversation

``<partition>`` and ``<id>`` are a readable part of the text and its SHA-256 (see `names`); what
counts is in the file. Its first line is an object:

===================  =============================================================================
``format``           ``"greentic-session.conversation"``
``version``          of this format: 1
``env``, ``tenant``  whose the conversation is
``team``             a text, or null
``message_count``    how many lines follow
``expires_at_ms``    when it expires, in milliseconds since the Unix epoch, or null for never
``conversation``     the rest of it: ``id``, ``model``, ``max_turns``, ``system_message``,
                     ``metadata``, ``state``, ``created_at``, ``updated_at``, ``schema_version``,
                     ``birth`` (which with ``updated_at`` tells one writing from another), and
                     unknown fields
===================  =============================================================================

Every other line is a message, oldest first, as JSON. The line of a message that cannot be read is
empty, which keeps the positions of the others. `version_0_1` reads the files that conversation
stores in files had in 0.1.0.
"""
