// What happens when memory is short on the loops of a hub on sockets: each allocation fails in
// turn, alone or with those that follow it.

#include <cerrno>
#include <cstdlib>
#include <new>

#include "support/faults.hpp"

using namespace pushhub;
using namespace pushhub::test;
using namespace pushhub::test::faults;

// All forms, since a sanitizer has each of its own. Not inline, or g++ takes them for mismatched.
[[gnu::noinline]] void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
    return fault(Call::allocation) != 0 ? nullptr : std::malloc(size);
}
void* operator new(std::size_t size) {
    if (void* const memory = operator new(size, std::nothrow)) {
        return memory;
    }
    throw std::bad_alloc();
}
void* operator new[](std::size_t size) {
    return operator new(size);
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
    std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
    operator delete(memory);
}
void operator delete[](void* memory) noexcept {
    operator delete(memory);
}
void operator delete[](void* memory, std::size_t) noexcept {
    operator delete(memory);
}

// Asio calls it.
extern "C" int accept(int socket, sockaddr* address, socklen_t* size) {
    return acceptSmall(socket, address, size);
}

TEMPLATE_LIST_TEST_CASE("Each allocation on a loop may fail, over a socket too", "[allocation]",
                        SocketTransports) {
    inARow = GENERATE(1, 3, 30);
    Fixture<TestType> fixture;
    fixture.checkAll(Call::allocation, {ENOMEM});
    inARow = 1;
}

TEMPLATE_LIST_TEST_CASE("Each allocation may fail on the threads of a host", "[allocation]",
                        SocketTransports) {
    inARow = GENERATE(1, 3, 30);
    Fixture<TestType> fixture(GENERATE(1, 3));
    fixture.checkAll(Call::allocation, {ENOMEM});
    inARow = 1;
}

TEMPLATE_LIST_TEST_CASE("Each allocation may fail while a hub starts and stops", "[allocation]",
                        SocketTransports) {
    using H = Harness<TestType>;
    typename H::Hub hub(H::options());
    std::atomic<int> closed{0};
    hub.onClose([&](const SessionPtr&, const CloseInfo&) { ++closed; });
    how = ENOMEM;
    isTester = true;
    const bool stops = GENERATE(false, true);
    const auto failAfter = [](long successes, auto function) {
        left = successes;
        failing = Call::allocation;
        isTester = false;
        function();
        isTester = true;
        failing = Call::none;
        return left < 0;
    };
    bool struck = true;
    for (long successes = 0; struck; ++successes) {
        INFO("after " << successes);
        const auto start = [&] {
            try {
                if (!hub.isRunning()) {
                    hub.start();
                }
            } catch (const std::bad_alloc&) {
                // then it can be started later
            }
        };
        if (!stops) {
            struck = failAfter(successes, start);
        }
        start();
        REQUIRE(hub.isRunning());
        SocketClient client = H::connectSocket(hub).opened("/websocket/1");
        REQUIRE(eventually([&] { return hub.sessionCount() == 1; }));
        closed = 0;
        struck = stops ? failAfter(successes, [&] { hub.stop(std::chrono::seconds(0)); }) : struck;
        hub.stop(std::chrono::seconds(0));
        REQUIRE_FALSE(hub.isRunning());
        REQUIRE(closed == 1);
        REQUIRE(client.waitForEnd());
    }
}
