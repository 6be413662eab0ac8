"""How the documents become a site: pages from elsewhere in the repository, and what the code itself says."""
