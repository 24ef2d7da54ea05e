"""Arguments, options and help of each verb, separate from its work.

These files import only click, so that help and completion are fast. A verb imports its work when it runs.
"""
