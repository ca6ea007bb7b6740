//! Giving up privilege before `execve(2)`: capabilities, no_new_privs, identity. `capabilities(7)`, `credentials(7)`.
