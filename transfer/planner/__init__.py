"""What trials would take, before they are started: which are recorded, time, disk, and what is missing."""
