"""Tables of inputs that users have typed, or could: each is right, or refused in one line.

A row names the input and what is expected of it: the result, or words of the line that refuses it. The files
beside are by kind; what a run does to an earlier result is tested in ``end_to_end/test_bad_input.py``.
"""
