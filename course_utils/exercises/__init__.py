"""Exercises, one file a notebook: `from course_utils.exercises import ex00`."""
