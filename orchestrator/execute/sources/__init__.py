"""Source code: downloaded releases, git commits, working trees and packages, each with its SHA-256."""
