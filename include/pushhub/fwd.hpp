#pragma once

#include <memory>

/// WebSocket push: docs/reference.md says where to start.
namespace pushhub {

class AsioTransport;
class Connection;
class EventLoop;
class Frame;
class Handshake;
class HttpRequest;
class LoopbackTransport;
class MessageCompression;
class Session;
class TransportHandler;
struct CloseInfo;
struct HttpResponse;
struct Options;
struct SendResult;

/// Shared by the hub and the application; a closed session remains safe to use.
using SessionPtr = std::shared_ptr<Session>;

template <class Transport = AsioTransport>
class PushHub;

}  // namespace pushhub
