#include <zlib.h>

#include <iostream>

#include <pushhub/deflate.hpp>
#include <pushhub/pushhub.hpp>

int main() {
    pushhub::Options options;
    options.compression = pushhub::permessageDeflate();
    const pushhub::PushHub<> hub{options};
    std::cout << pushhub::version << " with zlib " << zlibVersion() << '\n';
    return 0;
}
