#pragma once

// Configuration of Asio, in one place, for those who only add the include path. The CMake target
// sets the same macro, so that every translation unit of a program agrees.

#ifndef ASIO_STANDALONE
#define ASIO_STANDALONE
#endif

// Without RTTI, Asio has to be told; Boost.Asio asks Boost.Config.
#if !defined(__cpp_rtti) && !defined(__GXX_RTTI) && !defined(_CPPRTTI)
#ifndef ASIO_NO_TYPEID
#define ASIO_NO_TYPEID
#endif
#endif

#if !defined(__cpp_exceptions) && !defined(_CPPUNWIND)
#error "pushhub needs exceptions: hooks of the host application may throw, and wrong options do"
#endif
