@echo off
rem The demo on Windows. The workers need Linux, so this runs scripts/demo.sh in the Windows Subsystem for Linux (WSL).
setlocal
where wsl >nul 2>nul
if errorlevel 1 (
    echo QueueCTL's workers need Linux. Install WSL with:  wsl --install
    echo Then run this again.
    exit /b 1
)
for /f "usebackq delims=" %%p in (`wsl wslpath -a "%~dp0.."`) do set "folder=%%p"
wsl --cd "%folder%" sh scripts/demo.sh
exit /b %errorlevel%
