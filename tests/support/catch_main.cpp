// The test programs' main(), compiled once. Catch2 2 defines itself here; Catch2 3 is a library.
#define CATCH_CONFIG_RUNNER
#include "support/catch.hpp"

int main(int argc, char* argv[]) {
    return Catch::Session().run(argc, argv);
}
