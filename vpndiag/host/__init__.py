"""Facts about the local machine; nothing here changes it."""
