@echo off
rem The demo for Windows. QueueCTL runs on Linux and macOS, so this runs scripts/demo.sh in WSL, the Windows Subsystem
rem for Linux, in this same folder. "wsl" starts in the folder it is called from, also when its name has spaces.
setlocal
set status=1
pushd "%~dp0.."

where wsl >nul 2>nul
if errorlevel 1 goto no_wsl
wsl true >nul 2>nul
if errorlevel 1 goto no_wsl

wsl sh scripts/demo.sh
set status=%errorlevel%
goto end

:no_wsl
echo QueueCTL needs Linux or macOS, and no Linux is installed in WSL on this computer.
echo 1. Install one:   wsl --install
echo 2. In it, here:   make install
echo 3. Run this again.

:end
popd
exit /b %status%
