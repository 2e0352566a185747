#include <zlib.h>

#include <iostream>

#include <pushhub/deflate.hpp>
#include <pushhub/options.hpp>
#include <pushhub/version.hpp>

int main() {
    pushhub::Options options;
    options.compression = pushhub::permessageDeflate();
    std::cout << pushhub::version << " with zlib " << zlibVersion() << '\n';
    return 0;
}
