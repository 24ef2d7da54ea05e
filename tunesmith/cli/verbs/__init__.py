"""What the command line takes: each verb's arguments, options and help, apart from what it does.

These files import nothing but click, so that help and completion are quick. A verb imports its work when it runs.
"""
