"""What commands take: click types and the options that commands share."""
