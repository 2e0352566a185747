// A Transport that lacks something gets one error that says what.
// wrong NO_START: a Transport needs start\(
// wrong NO_STOP: a Transport needs stop\(
// wrong NO_SEND_ALL: a Transport needs sendAll\(
// wrong NO_ADDRESS: a Transport needs address\(
// wrong NO_PORT: a Transport needs port\(
// wrong NO_ON_LOOP: a Transport needs onLoop\(
// wrong NO_LATER: a Transport needs later\(
// wrong NOTHING: a Transport needs start\(

#include <chrono>
#include <cstdint>
#include <functional>

#include <pushhub/push_hub.hpp>

// The least that a Transport is.
class Archetype {
public:
    explicit Archetype(const pushhub::Options&) {}

#if !defined(NO_START) && !defined(NOTHING)
    void start(pushhub::TransportHandler&) {}
#endif
#if !defined(NO_STOP) && !defined(NOTHING)
    void stop(pushhub::TransportHandler&, std::chrono::milliseconds) {}
#endif
#if !defined(NO_SEND_ALL) && !defined(NOTHING)
    void sendAll(pushhub::TransportHandler&, const pushhub::FramePtr&,
                 const pushhub::detail::RefPtr<pushhub::ExceptList>&, pushhub::OverflowPolicy) {}
#endif
#if !defined(NO_ADDRESS) && !defined(NOTHING)
    std::string address() const {
        return {};
    }
#endif
#if !defined(NO_PORT) && !defined(NOTHING)
    std::uint16_t port() const {
        return 0;
    }
#endif
#if !defined(NO_ON_LOOP) && !defined(NOTHING)
    bool onLoop() const {
        return false;
    }
#endif
#if !defined(NO_LATER) && !defined(NOTHING)
    void later(const std::function<void()>&) {}
#endif
};

void useHub();

void useHub() {
    pushhub::PushHub<Archetype> hub{pushhub::Options()};
    hub.start();
    hub.sendAll("text");
    hub.stop();
}
