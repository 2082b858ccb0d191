"""The camera loop: sources of frames, the newest one of them, detector, tracker, classifier, and where observations
go."""
