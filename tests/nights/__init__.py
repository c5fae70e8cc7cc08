"""Nights of one small shop, in this process and on a cluster: its tests share the first one."""
