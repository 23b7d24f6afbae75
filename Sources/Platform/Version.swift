// The one version of all programs.

/// Shown by `--version`, in status, metrics and answers to clients.
public let standwatchVersion = "0.1.0"
