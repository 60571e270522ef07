-- Returns the run id of the server that has KEYS[1], which is not read.
return (server())
