"""Launchers (``*.sh``) and the bench harnesses; nothing that the packages import."""
