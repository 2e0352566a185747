// Macros of other headers that a program may include before pushhub's. Those with arguments expand
// to what does not compile.

// Xlib.h, X.h
#define Status int
#define Bool int
#define True 1
#define False 0
#define None 0L
#define Success 0
#define Always 2
#define Above 0
#define Below 1
#define Opposite 4
#define Complex 0
#define Convex 2
#define Unsorted 0
#define CurrentTime 0L
#define Expose 12
#define FocusIn 9
#define KeyPress 2
#define BadRequest 1
#define BadValue 2
#define BadAlloc 11

// windows.h
#define min(a, b) macro of windows.h
#define max(a, b) macro of windows.h
#define ERROR 0
#define IN
#define OUT
#define OPTIONAL
#define DELETE 0x00010000L
#define STRICT 1
#define CONST const
#define VOID void
#define TRUE 1
#define FALSE 0
#define NO_ERROR 0L
#define far
#define near
#define FAR
#define NEAR
#define small char
#define hyper long long
#define interface struct
#define cdecl
#define pascal
#define CALLBACK
#define ABSOLUTE 1
#define RELATIVE 2
#define OPAQUE 2
#define TRANSPARENT 1
#define Yield() macro of windows.h
#define GetMessage GetMessageW
#define SendMessage SendMessageW
#define PostMessage PostMessageW
#define GetObject GetObjectW
#define CreateEvent CreateEventW
#define GetCurrentTime() macro of windows.h

// AssertMacros.h of macOS, Unreal Engine
#define check(a) macro of AssertMacros.h
#define verify(a) macro of AssertMacros.h
#define require(a, b) macro of AssertMacros.h
#define ensure(a) macro of Unreal Engine
#define TEXT(a) macro of Unreal Engine
#define PI 3

// Qt
#define emit
#define signals public
#define slots
#define forever macro of Qt
#define foreach(a, b) macro of Qt

// sys/sysmacros.h, sys/param.h, termios.h, syslog.h, complex.h
#define major(a) macro of sys / sysmacros.h
#define minor(a) macro of sys / sysmacros.h
#define makedev(a, b) macro of sys / sysmacros.h
#define MIN(a, b) macro of sys / param.h
#define MAX(a, b) macro of sys / param.h
#define howmany(a, b) macro of sys / param.h
#define ECHO 8
#define B0 0
#define LOG_INFO 6
#define LOG_DEBUG 7
#define I macro of complex.h
#define complex macro of complex.h

// GNU's modes of the language, Objective-C, Arduino, the Linux kernel
#define linux 1
#define unix 1
#define nil nullptr
#define Nil nullptr
#define YES true
#define NO false
#define F(a) macro of Arduino.h
#define bit(a) macro of Arduino.h
#define constrain(a, b, c) macro of Arduino.h
#define likely(a) macro of the kernel
#define unlikely(a) macro of the kernel

// Loggers and frameworks for tests
#define DEBUG 1
#define INFO(a) macro of a logger
#define WARN(a) macro of a logger
#define LOG(a) macro of a logger
#define CHECK(a) macro of a logger
#define REQUIRE(a) macro of a framework
#define TEST(a, b) macro of a framework
