// Ctrl-C and SIGTERM as a flag that long work asks for between steps.
#pragma once

namespace micromind {

/// Installs the handlers (the command line does so once). A second Ctrl-C ends the process at once.
void catch_interrupts();
bool interrupted();

}  // namespace micromind
